/** A question that has to be answered before anything else: the browser's own dialog, which keeps the focus. */
import { useEffect, useId, useRef, type ReactNode } from "react";

export function Dialog({
  title,
  children,
  action,
  danger = false,
  onAnswer,
}: {
  title: string;
  children: ReactNode;
  /** What the button that agrees says. */
  action: string;
  danger?: boolean;
  /** The form that was agreed to; undefined when it was given up. */
  onAnswer: (form: FormData | undefined) => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={() => onAnswer(undefined)}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          onAnswer(new FormData(event.currentTarget));
        }}
      >
        <h2 id={heading}>{title}</h2>
        {children}
        <div className="actions">
          <button type="button" onClick={() => onAnswer(undefined)}>
            Cancel
          </button>
          <button className={danger ? "primary bad" : "primary"}>{action}</button>
        </div>
      </form>
    </dialog>
  );
}
