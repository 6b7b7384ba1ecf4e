import type { Event } from "@wrenn/sdk";

export function EventLog({ events }: { events: readonly Event[] }) {
  return (
    <section aria-labelledby="events">
      <h1 id="events">Events</h1>
      {events.length === 0 ? (
        <p className="empty">Nothing happened since this page was opened. Create a sandbox to see its life here.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">What</th>
              <th scope="col">Sandbox</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody aria-live="polite">
            {events.map(({ id, type, created_at, sandbox_id, data }) => (
              <tr key={id}>
                <td>
                  <time dateTime={created_at}>{new Date(created_at).toLocaleTimeString()}</time>
                </td>
                <td>{type.replace("sandbox.", "")}</td>
                <td>
                  <a href={`#/sandboxes/${sandbox_id}`}>{sandbox_id}</a>
                </td>
                <td>{data.reason ?? ""}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
