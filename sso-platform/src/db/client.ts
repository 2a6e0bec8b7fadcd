import { drizzle } from "drizzle-orm/node-postgres";
import { Pool } from "pg";

import { readEnv } from "../env.ts";
import * as schema from "./schema.ts";
import { tableNames } from "./tables.ts";

let pool: Pool | undefined;

/** The connection pool, made on first use. A query never waits longer than a few seconds for a database that is away. */
export function getPool(): Pool {
  if (!pool) {
    pool = new Pool({
      connectionString: readEnv().databaseUrl,
      application_name: "sso",
      max: 5,
      connectionTimeoutMillis: 3_000,
      query_timeout: 5_000,
    });
    // An idle connection that breaks, e.g. because the database restarts, must not end the process: the pool makes another.
    pool.on("error", (error) => console.error(`database: connection lost (${errorCode(error)})`));
  }
  return pool;
}

/** Lets a script end; the server keeps its pool. */
export async function closePool(): Promise<void> {
  await pool?.end();
}

export function getDatabase() {
  return drizzle(getPool(), { schema });
}

/** Which of our tables the database does not have, found through search_path, so that no schema name is written here. */
export async function missingTables(): Promise<string[]> {
  const { rows } = await getPool().query<{ name: string }>(
    `select name from unnest($1::text[]) as name
      where not exists (select from pg_class where oid = to_regclass(quote_ident(name)) and relkind in ('r', 'p'))
      order by name`,
    [tableNames],
  );
  return rows.map((row) => row.name);
}

/** What a failed query says that is safe to print: its code, without addresses, users or statements. */
export function errorCode(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "no answer in time";
}
