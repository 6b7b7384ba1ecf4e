import type { Event } from "@wrenn/sdk";
import { EventLog } from "./event-log.tsx";

export function EventsPage({ events }: { events: readonly Event[] | undefined }) {
  return (
    <section aria-labelledby="events">
      <h1 id="events">Events</h1>
      <p className="quiet">What happened to the team's sandboxes this week, newest first.</p>
      <EventLog events={events} />
    </section>
  );
}
