/**
 * A table that is one on a wide screen and a list of cards on a narrow one. The roles are written out, for a browser
 * takes them away from a table that is not laid out as one.
 */
import type { ReactNode } from "react";

export interface Row {
  key: string;
  /** One for each column. */
  cells: readonly ReactNode[];
  /** What can be done with it. */
  actions?: ReactNode;
}

export function Table({ label, columns, rows }: { label: string; columns: readonly string[]; rows: readonly Row[] }) {
  const hasActions = rows.some(({ actions }) => actions !== undefined);
  return (
    <table role="table" aria-label={label}>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => (
            <th key={column} role="columnheader" scope="col">
              {column}
            </th>
          ))}
          {hasActions && (
            <th role="columnheader" scope="col">
              <span className="hidden">Actions</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map(({ key, cells, actions }) => (
          <tr key={key} role="row">
            {cells.map((cell, index) => (
              <td key={columns[index]} role="cell" data-label={columns[index]}>
                {cell}
              </td>
            ))}
            {hasActions && (
              <td role="cell" className="actions-cell">
                {actions}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
