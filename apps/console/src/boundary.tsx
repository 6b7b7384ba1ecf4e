/** What is shown in place of a part of the console that cannot be shown, while the rest of the page goes on. */
import { Component, lazy, type ComponentType, type LazyExoticComponent, type ReactNode } from "react";
import { WrennError } from "@wrenn/sdk";
import { Problem } from "./problem.tsx";

interface BoundaryState {
  error: unknown;
}

export class Boundary extends Component<{ children: ReactNode }, BoundaryState> {
  override state: BoundaryState = { error: undefined };

  static getDerivedStateFromError(error: unknown): BoundaryState {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <Problem
        error={error}
        {...(error instanceof WrennError
          ? {}
          : { note: "This is a mistake of the console. Sandboxes are not touched by it." })}
        action={
          <button type="button" onClick={() => location.reload()}>
            Reload the page
          </button>
        }
      />
    );
  }
}

/** A part in a file of its own, which is loaded when it is shown first. */
export function loadedLater<Props>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): LazyExoticComponent<ComponentType<Props>> {
  return lazy(async () => {
    try {
      return await load();
    } catch (cause) {
      throw new WrennError("unavailable", "Cannot load this part of the console", {
        hint: "Its files change with an upgrade of the platform. Reload the page to go on where you are.",
        cause,
      });
    }
  });
}
