import assert from "node:assert/strict";
import { test } from "node:test";

import { EnvError, readEnv, readSeedEnv } from "../src/env.ts";

const secret = "s".repeat(32);
const app = {
  DATABASE_URL: "postgresql://sso:pw@db:5432/taskflow",
  SSO_URL: "http://localhost:3001",
  WEB_URL: "http://localhost:3000",
  BETTER_AUTH_SECRET: secret,
};
const seed = { ...app, API_URL: "http://localhost:8000", WEB_CLIENT_SECRET: secret, DEMO_PASSWORD: "ten-letters" };

test("a complete environment is read", () => {
  assert.equal(readEnv(app).ssoUrl, "http://localhost:3001");
  assert.equal(readSeedEnv(seed).apiUrl, "http://localhost:8000");
});

test("all that is missing is named at once, in one line", () => {
  assert.throws(() => readEnv({ SSO_URL: "" }), {
    name: "EnvError",
    message: "environment: DATABASE_URL is not set; SSO_URL is not set; WEB_URL is not set; BETTER_AUTH_SECRET is not set",
  });
});

test("the running service does not need what only the set-up needs", () => {
  assert.doesNotThrow(() => readEnv(app));
  assert.throws(() => readSeedEnv(app), /API_URL is not set; WEB_CLIENT_SECRET is not set; DEMO_PASSWORD is not set/);
});

for (const address of ["localhost:3001", "http://localhost:3001/", "http://localhost:3001/sso", "ftp://localhost", "javascript:1"]) {
  test(`${address} is refused as the issuer`, () => {
    assert.throws(() => readEnv({ ...app, SSO_URL: address }), /SSO_URL must be an http/);
  });
}

test("a refused value is never repeated: it may be a secret", () => {
  const refused = { ...seed, BETTER_AUTH_SECRET: "too-short-1", WEB_CLIENT_SECRET: "too-short-2", DATABASE_URL: "mysql://u:hidden@h/d" };
  assert.throws(
    () => readSeedEnv(refused),
    (error) => error instanceof EnvError && !/too-short-|hidden/.test(error.message),
  );
});
