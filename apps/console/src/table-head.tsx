/** The head of a table: its columns, and one for what can be done with a row, which only screen readers name. */
export function TableHead({ columns }: { columns: readonly string[] }) {
  return (
    <thead>
      <tr>
        {columns.map((column) => (
          <th key={column} scope="col">
            {column}
          </th>
        ))}
        <th scope="col">
          <span className="hidden">Actions</span>
        </th>
      </tr>
    </thead>
  );
}
