/** A button whose action is asked about first. */
import { useState, type ReactNode } from "react";
import { Dialog } from "./dialog.tsx";

export function AskButton({
  label,
  of,
  title,
  question,
  action = label,
  danger = false,
  disabled,
  onAgree,
}: {
  label: string;
  /** What it is done to, for those who do not see where the button is. */
  of: string;
  title: string;
  question: ReactNode;
  action?: string;
  danger?: boolean;
  disabled: boolean;
  onAgree: (form: FormData) => void;
}) {
  const [asked, setAsked] = useState(false);
  return (
    <>
      <button
        type="button"
        className={danger ? "danger" : undefined}
        disabled={disabled}
        onClick={() => setAsked(true)}
      >
        {label}
        <span className="hidden"> {of}</span>
      </button>
      {asked && (
        <Dialog
          title={title}
          action={action}
          danger={danger}
          onAnswer={(form) => {
            setAsked(false);
            if (form !== undefined) onAgree(form);
          }}
        >
          {question}
        </Dialog>
      )}
    </>
  );
}
