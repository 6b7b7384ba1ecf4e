/** What the routes work with: built once, at start. */
import { mkdir } from "node:fs/promises";
import type { FastifyBaseLogger } from "fastify";
import { AgentClient } from "./agent/agent-client.ts";
import { AgentToken } from "./agent/token.ts";
import { AuditStore } from "./audit/audit-store.ts";
import { AccountStore } from "./auth/account-store.ts";
import { ApiKeyCache } from "./auth/api-key-cache.ts";
import { ApiKeyStore } from "./auth/api-key-store.ts";
import { Authenticator } from "./auth/authenticate.ts";
import type { Caller } from "./auth/caller.ts";
import { ensureFirstApiKey } from "./auth/first-start.ts";
import { KeyUse } from "./auth/key-use.ts";
import { Login } from "./auth/login.ts";
import { ensureSecrets } from "./auth/session-secrets.ts";
import { SessionTokens } from "./auth/session-token.ts";
import type { Config } from "./config.ts";
import { connectDatabase, type Database } from "./database/connect.ts";
import { migrate } from "./database/migrate.ts";
import { Notifications } from "./database/notifications.ts";
import { EventStore } from "./events/event-store.ts";
import { HostMonitor, LOCAL_HOST } from "./hosts/host-monitor.ts";
import { HostStore } from "./hosts/host-store.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Quotas } from "./quotas/quotas.ts";
import { Housekeeper } from "./housekeeping/housekeeper.ts";
import { IdempotencyStore } from "./idempotency/idempotency-store.ts";
import { Reconciler } from "./reconciler/reconciler.ts";
import { Lifecycle } from "./sandboxes/lifecycle.ts";
import { Resolver } from "./sandboxes/resolver.ts";
import { SandboxStore } from "./sandboxes/sandbox-store.ts";
import { Snapshots } from "./snapshots/snapshots.ts";
import { SnapshotStore } from "./snapshots/snapshot-store.ts";
import { InvitationStore } from "./teams/invitation-store.ts";
import { MemberStore } from "./teams/member-store.ts";
import { TeamStore } from "./teams/team-store.ts";
import { TemplateStore } from "./templates/template-store.ts";
import { TicketStore } from "./tickets/ticket-store.ts";
import { ATTEMPT_TIMEOUT_MS, Deliverer } from "./webhooks/deliverer.ts";
import { Destinations } from "./webhooks/destination.ts";
import { WebhookStore } from "./webhooks/webhook-store.ts";

export interface Services {
  database: Database;
  agent: AgentClient;
  keys: ApiKeyStore;
  keyCache: ApiKeyCache;
  keyUse: KeyUse;
  accounts: AccountStore;
  authenticator: Authenticator;
  login: Login;
  members: MemberStore;
  teams: TeamStore;
  invitations: InvitationStore;
  audit: AuditStore;
  quotas: Quotas;
  sandboxes: SandboxStore;
  templates: TemplateStore;
  resolver: Resolver;
  lifecycle: Lifecycle;
  snapshots: Snapshots;
  reconciler: Reconciler;
  hosts: HostMonitor;
  idempotency: IdempotencyStore;
  notifications: Notifications;
  events: EventStore;
  webhooks: WebhookStore;
  destinations: Destinations;
  deliverer: Deliverer;
  tickets: TicketStore<Caller>;
  housekeeper: Housekeeper;
  metrics: Metrics;
}

/** Time for operations that are under way when the control plane stops. */
const DRAIN_DEADLINE_MS = 30_000;

/** Connects the database, brings its schema up to date, mints the first key, builds the rest. */
export async function openServices(config: Config, log: FastifyBaseLogger): Promise<Services> {
  await mkdir(config.stateDirectory, { recursive: true, mode: 0o711 });
  const database = await connectDatabase({
    url: config.databaseUrl,
    onIdleError: (error) => log.warn({ err: error }, "lost an idle database connection"),
  });
  try {
    const migrations = await migrate(database);
    if (migrations.length > 0) log.info({ migrations }, "brought the database up to date");
    if (await ensureFirstApiKey(database, config.apiKeyFile)) log.info({ file: config.apiKeyFile }, "made an API key");
    const hostStore = new HostStore(database);
    const hostId = await hostStore.ensure(LOCAL_HOST, `unix:${config.agentSocket}`);
    const agent = new AgentClient({ socketPath: config.agentSocket, token: new AgentToken(config.agentTokenFile) });
    const sandboxes = new SandboxStore(database);
    const templates = new TemplateStore(database);
    const keys = new ApiKeyStore(database);
    const keyCache = new ApiKeyCache(keys);
    const keyUse = new KeyUse(keys, (error) => log.warn({ err: error }, "cannot record when keys were used"));
    const accounts = new AccountStore(database);
    const tokens = new SessionTokens(config.sessionSecrets ?? (await ensureSecrets(config.sessionSecretsFile)));
    const members = new MemberStore(database);
    const teams = new TeamStore(database);
    const quotas = new Quotas(database, config.teamLimits);
    const metrics = new Metrics(database);
    const resolver = new Resolver({
      store: sandboxes,
      agent,
      log,
      settledAgeMs: config.settledAgeMs,
      onCorrection: (action) => metrics.corrections.inc({ action }),
    });
    const reconciler = new Reconciler({
      hostId,
      store: sandboxes,
      agent,
      resolver,
      log,
      intervalMs: config.reconcileIntervalMs,
      orphanGraceMs: config.orphanGraceMs,
      onRound: (durationMs) => metrics.reconciliations.observe(durationMs / 1_000),
    });
    const lifecycle = new Lifecycle({
      store: sandboxes,
      agent,
      resolver,
      quotas,
      log,
      onEnd: ({ operation, outcome, durationMs }) =>
        metrics.operations.observe({ operation, outcome }, durationMs / 1_000),
    });
    const snapshotStore = new SnapshotStore(database, quotas);
    const tickets = new TicketStore<Caller>(database);
    const notifications = new Notifications({ url: config.databaseUrl, log, keyCache });
    const webhooks = new WebhookStore(database);
    const destinations = new Destinations(config.webhookNetworks, { timeoutMs: ATTEMPT_TIMEOUT_MS });
    return {
      database,
      agent,
      keys,
      keyCache,
      keyUse,
      accounts,
      authenticator: new Authenticator({ keys: keyCache, keyUse, accounts, tokens, members, teams, tickets }),
      login: new Login({ accounts, tokens, signUpPolicy: config.signUpPolicy }),
      members,
      teams,
      invitations: new InvitationStore(database),
      audit: new AuditStore(database),
      quotas,
      sandboxes,
      templates,
      resolver,
      lifecycle,
      snapshots: new Snapshots({ hostId, store: snapshotStore, templates, agent, lifecycle, log }),
      reconciler,
      hosts: new HostMonitor({ hostId, agent, hosts: hostStore, templates, reconciler, log }),
      idempotency: new IdempotencyStore(database, { abandonedAfterMs: config.settledAgeMs }),
      notifications,
      events: new EventStore(database),
      webhooks,
      destinations,
      deliverer: new Deliverer({
        webhooks,
        destinations,
        notifications,
        log,
        onAttempt: (outcome) => metrics.webhookAttempts.inc({ outcome }),
      }),
      tickets,
      metrics,
      housekeeper: new Housekeeper({ database, log, eventRetentionHours: config.eventRetentionHours }),
    };
  } catch (error) {
    await database.destroy();
    throw error;
  }
}

/** Begins to follow the host, and what is done in the background. */
export function startServices(services: Services): void {
  const { hosts, reconciler, snapshots, notifications, deliverer, housekeeper } = services;
  notifications.start();
  deliverer.start();
  housekeeper.start();
  hosts.start();
  reconciler.start();
  snapshots.start();
}

/** Waits for operations that are under way, then lets go of everything. */
export async function closeServices(services: Services): Promise<void> {
  await services.hosts.stop();
  await services.reconciler.stop();
  await services.snapshots.stop();
  await services.lifecycle.drain(AbortSignal.timeout(DRAIN_DEADLINE_MS));
  await services.housekeeper.stop();
  await services.deliverer.stop();
  await services.notifications.stop();
  await services.destinations.close();
  await services.keyUse.flush();
  await services.agent.close();
  await services.database.destroy();
}
