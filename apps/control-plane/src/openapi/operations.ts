/** Every operation of the native API. A capability that adds a route describes it in its own `operations.ts`. */
import { auditOperations } from "../audit/operations.ts";
import { authOperations } from "../auth/operations.ts";
import { eventOperations } from "../events/operations.ts";
import { execOperations } from "../exec/operations.ts";
import { fileOperations } from "../files/operations.ts";
import { healthOperations } from "../health/operations.ts";
import { quotaOperations } from "../quotas/operations.ts";
import { sandboxOperations } from "../sandboxes/operations.ts";
import { snapshotOperations } from "../snapshots/operations.ts";
import { teamOperations } from "../teams/operations.ts";
import { templateOperations } from "../templates/operations.ts";
import { ticketOperations } from "../tickets/operations.ts";
import { webhookOperations } from "../webhooks/operations.ts";
import type { Operations } from "./operation.ts";

export const OPERATIONS: Operations = {
  ...sandboxOperations,
  ...execOperations,
  ...fileOperations,
  ...snapshotOperations,
  ...templateOperations,
  ...authOperations,
  ...teamOperations,
  ...quotaOperations,
  ...auditOperations,
  ...eventOperations,
  ...webhookOperations,
  ...ticketOperations,
  ...healthOperations,
};
