/** A slot whose guest answers the host and can begin nothing by itself: for guests that are only tried. */
import { loadRules } from "./nft.ts";
import type { Slot } from "./network.ts";

/** For good: such a slot is not used again. To be called before the guest runs. */
export async function closeEgress({ namespacePath, tapName }: Slot): Promise<void> {
  const rules = `
table ip wrenn {
  chain answers_only {
    type filter hook forward priority filter - 10; policy accept;
    iifname "${tapName}" ct state != established drop
  }
}
`;
  await loadRules(rules, namespacePath);
}
