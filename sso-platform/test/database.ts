/** A database of this test's own with the tables and the first rows in it, on the server that SSO_TEST_DATABASE_URL names. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";

import { Client } from "pg";

const server = process.env["SSO_TEST_DATABASE_URL"];
if (!server) {
  throw new Error(
    "SSO_TEST_DATABASE_URL is not set. Set it to the URL of a PostgreSQL and a user who may create databases, e.g. " +
      "postgresql://postgres:PASSWORD@127.0.0.1:5432/postgres (the tests make a database of their own and drop it)",
  );
}

const name = `sso_test_${randomBytes(6).toString("hex")}`;
const url = new URL(server);
url.pathname = `/${name}`;

export const webUrl = "http://localhost:3000";
export const ssoUrl = "http://localhost:3001";
export const apiUrl = "http://localhost:8000";
export const clientSecret = "c".repeat(32);

Object.assign(process.env, {
  DATABASE_URL: url.href,
  SSO_URL: ssoUrl,
  WEB_URL: webUrl,
  API_URL: apiUrl,
  BETTER_AUTH_SECRET: "test-secret-of-at-least-thirty-two-characters",
  WEB_CLIENT_SECRET: clientSecret,
  DEMO_PASSWORD: "a password for the demo",
});

async function asServer(statement: string): Promise<void> {
  const client = new Client({ connectionString: server });
  await client.connect();
  await client.query(statement);
  await client.end();
}

function run(...argv: string[]): void {
  execFileSync(process.execPath, argv, { cwd: fileURLToPath(new URL("..", import.meta.url)), stdio: ["ignore", "pipe", "inherit"] });
}

export async function makeDatabase(): Promise<void> {
  await asServer(`create database ${name}`);
  run("node_modules/drizzle-kit/bin.cjs", "push");
  run("src/seed.ts");
}

export async function dropDatabase(): Promise<void> {
  await asServer(`drop database ${name} with (force)`);
}
