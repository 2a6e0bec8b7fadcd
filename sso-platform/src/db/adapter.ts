import type { DBAdapterInstance } from "better-auth";
import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { DrizzleQueryError } from "drizzle-orm/errors";

import { getDatabase } from "./client.ts";
import * as schema from "./schema.ts";

/**
 * better-auth's way to the database.
 *
 * drizzle writes the values of a failed query into its error: session tokens, password hashes, addresses. Errors end up in logs,
 * so what is thrown on from here is the database driver's own error, which has none of them.
 */
export function createAdapter(): DBAdapterInstance {
  const create = drizzleAdapter(getDatabase(), { provider: "pg", schema, transaction: true });
  return (options) => {
    const adapter = create(options);
    for (const [name, method] of Object.entries(adapter)) {
      if (typeof method === "function") Object.assign(adapter, { [name]: withoutValues(method) });
    }
    return adapter;
  };
}

type Method = (...parameters: never[]) => Promise<unknown>;

function withoutValues(method: Method): Method {
  return async (...parameters) => {
    try {
      return await method(...parameters);
    } catch (error) {
      throw driverError(error);
    }
  };
}

/** The database driver's error within drizzle's. */
export function driverError(error: unknown): unknown {
  if (!(error instanceof DrizzleQueryError)) return error;
  // Its detail repeats values too: "Key (email)=(…) already exists".
  return Object.assign(error.cause ?? new Error("the query failed"), { detail: undefined });
}
