/**
 * Brings the database to what the environment says: a signing key, the demo user, the API as a token audience, and the
 * dashboard as an OAuth client. Says what it changed; a second run changes nothing. Exit code 1 when it could not.
 */
import { eq } from "drizzle-orm";

import { getAuth, hashClientSecret, scopes, webClientId } from "./auth.ts";
import { driverError } from "./db/adapter.ts";
import { closePool, errorCode, getDatabase, missingTables } from "./db/client.ts";
import { jwks, oauthClient, oauthClientResource, oauthResource } from "./db/schema.ts";
import { readSeedEnv, type SeedEnv } from "./env.ts";

const demoEmail = "demo@example.com";
const apiName = "taskflow-api";

type Outcome = "created" | "unchanged" | `updated (${string})`;

/** The set-up cannot go on; the message is all the reader needs. */
class SeedError extends Error {}

function differences<Row extends object>(row: Row, wanted: Partial<Row>): (keyof Row)[] {
  const keys = Object.keys(wanted) as (keyof Row)[];
  return keys.filter((key) => JSON.stringify(row[key]) !== JSON.stringify(wanted[key]));
}

async function seedSigningKey(): Promise<Outcome> {
  const before = await getDatabase().$count(jwks);
  await getAuth().api.getJwks();
  try {
    await getAuth().api.signJWT({ body: { payload: {} } });
  } catch {
    throw new SeedError("the signing key in the database was made with another BETTER_AUTH_SECRET");
  }
  return before === 0 ? "created" : "unchanged";
}

async function seedDemoUser(env: SeedEnv): Promise<Outcome> {
  const { api, $context } = getAuth();
  const { internalAdapter, password } = await $context;
  const found = await internalAdapter.findUserByEmail(demoEmail, { includeAccounts: true });
  if (!found) {
    const { user } = await api.signUpEmail({ body: { email: demoEmail, name: "Demo User", password: env.demoPassword } });
    // Signing up signs in; nobody holds that session.
    await internalAdapter.deleteUserSessions(user.id);
    return "created";
  }
  const hash = found.accounts.find((account) => account.providerId === "credential")?.password;
  if (hash && (await password.verify({ hash, password: env.demoPassword }))) return "unchanged";
  await internalAdapter.updatePassword(found.user.id, await password.hash(env.demoPassword));
  return "updated (password)";
}

async function seedApi(env: SeedEnv): Promise<Outcome> {
  const db = getDatabase();
  const [row] = await db.select().from(oauthResource).where(eq(oauthResource.name, apiName));
  if (!row) {
    const now = new Date();
    await db.insert(oauthResource).values({ id: crypto.randomUUID(), name: apiName, identifier: env.apiUrl, createdAt: now, updatedAt: now });
    return "created";
  }
  if (row.identifier === env.apiUrl) return "unchanged";
  await db.update(oauthResource).set({ identifier: env.apiUrl, updatedAt: new Date() }).where(eq(oauthResource.id, row.id));
  return "updated (identifier)";
}

async function seedWebClient(env: SeedEnv): Promise<Outcome> {
  const db = getDatabase();
  const wanted = {
    name: "Taskflow dashboard",
    clientSecret: hashClientSecret(env.webClientSecret),
    redirectUris: [`${env.webUrl}/auth/callback`],
    postLogoutRedirectUris: [`${env.webUrl}/`],
    scopes,
    grantTypes: ["authorization_code"],
    responseTypes: ["code"],
    tokenEndpointAuthMethod: "client_secret_basic",
    requirePKCE: true,
    skipConsent: true,
    enableEndSession: true,
    disabled: false,
  };
  const [row] = await db.select().from(oauthClient).where(eq(oauthClient.clientId, webClientId));
  const now = new Date();
  if (!row) {
    await db.insert(oauthClient).values({ id: crypto.randomUUID(), clientId: webClientId, ...wanted, createdAt: now, updatedAt: now });
    return "created";
  }
  const changed = differences(row, wanted);
  if (changed.length === 0) return "unchanged";
  await db.update(oauthClient).set({ ...wanted, updatedAt: now }).where(eq(oauthClient.id, row.id));
  return `updated (${changed.join(", ")})`;
}

/** Lets the dashboard ask for tokens for the API. */
async function seedGrant(env: SeedEnv): Promise<Outcome> {
  const db = getDatabase();
  const grant = { clientId: webClientId, resourceId: env.apiUrl };
  const added = await db
    .insert(oauthClientResource)
    .values({ id: crypto.randomUUID(), ...grant, createdAt: new Date() })
    .onConflictDoNothing()
    .returning();
  return added.length > 0 ? "created" : "unchanged";
}

async function seed(env: SeedEnv): Promise<void> {
  const missing = await missingTables().catch((error: unknown) => {
    throw new SeedError(`the database cannot be used (${errorCode(error)})`);
  });
  if (missing.length > 0) throw new SeedError(`tables missing: ${missing.join(", ")}; run \`pnpm db:push\` first`);

  const steps: [string, () => Promise<Outcome>][] = [
    ["signing key", seedSigningKey],
    [`demo user ${demoEmail}`, () => seedDemoUser(env)],
    [`API ${env.apiUrl}`, () => seedApi(env)],
    [`OAuth client ${webClientId} at ${env.webUrl}`, () => seedWebClient(env)],
    ["access of the client to the API", () => seedGrant(env)],
  ];
  let changed = false;
  for (const [what, step] of steps) {
    const outcome = await step();
    console.log(`seed:setup: ${what}: ${outcome}`);
    changed ||= outcome !== "unchanged";
  }
  console.log(changed ? "seed:setup: done" : "seed:setup: nothing to change");
}

try {
  await seed(readSeedEnv());
} catch (error) {
  const reason = driverError(error);
  console.error(`seed:setup: ${reason instanceof Error ? reason.message : String(reason)}`);
  process.exitCode = 1;
} finally {
  await closePool();
}
