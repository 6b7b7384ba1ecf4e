/** How long the browser may take to begin with it. */
const KEPT_MS = 60_000;

/** Has the browser save bytes as a file. */
export function saveFile(name: string, bytes: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(bytes);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}
