/** After a sign-out every copy of a cookie or token is worthless, and nobody else notices. On a real database. */
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import { apiUrl, clientSecret, dropDatabase, makeDatabase, ssoUrl, webUrl } from "./database.ts";

import { GET, POST } from "../src/app/api/auth/oauth2/end-session/route.ts";
import { getAuth } from "../src/auth.ts";
import { closePool, getPool } from "../src/db/client.ts";

before(makeDatabase);
after(async () => {
  await closePool();
  await dropDatabase();
});

const password = "correct horse battery staple";
const verifier = "v".repeat(43);
const basic = { authorization: `Basic ${btoa(`taskflow-web:${clientSecret}`)}` };
const afterSignOut = `${webUrl}/`;

function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return getAuth().handler(new Request(`${ssoUrl}/api/auth${path}`, init));
}

const send = (path: string, body: object, cookie = "") =>
  ask(path, { method: "POST", headers: { "content-type": "application/json", origin: ssoUrl, cookie }, body: JSON.stringify(body) });

const sendForm = (path: string, form: Record<string, string>) =>
  ask(path, { method: "POST", headers: basic, body: new URLSearchParams(form) });

const cookieOf = (response: Response) => response.headers.getSetCookie().map((line) => line.split(";", 1)[0]).join("; ");

/** A new account; what its browser then holds. */
async function signUp(): Promise<{ email: string; cookie: string }> {
  const email = `ada-${randomUUID()}@example.com`;
  const response = await send("/sign-up/email", { name: "Ada", email, password });
  assert.equal(response.status, 200);
  return { email, cookie: cookieOf(response) };
}

async function signIn(email: string, cookie = ""): Promise<string> {
  const response = await send("/sign-in/email", { email, password }, cookie);
  assert.equal(response.status, 200);
  return cookieOf(response);
}

/** Where the dashboard's request for a code leads with this cookie. */
async function authorize(cookie: string, more: Record<string, string> = { resource: apiUrl }): Promise<URL> {
  const query = new URLSearchParams({
    response_type: "code",
    client_id: "taskflow-web",
    redirect_uri: `${webUrl}/auth/callback`,
    scope: "openid profile email",
    state: "s".repeat(43),
    nonce: "n".repeat(43),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...more,
  });
  const response = await ask(`/oauth2/authorize?${query}`, { headers: { cookie, accept: "text/html" } });
  return new URL(response.headers.get("location") ?? "", ssoUrl);
}

async function codeFor(cookie: string, more?: Record<string, string>): Promise<string> {
  const code = (await authorize(cookie, more)).searchParams.get("code");
  assert.ok(code, "the SSO knows who it is");
  return code;
}

const exchange = (code: string, more: Record<string, string> = { resource: apiUrl }) =>
  sendForm("/oauth2/token", {
    grant_type: "authorization_code",
    redirect_uri: `${webUrl}/auth/callback`,
    code,
    code_verifier: verifier,
    ...more,
  });

async function tokensFor(cookie: string, more?: Record<string, string>): Promise<{ access: string; id: string }> {
  const response = await exchange(await codeFor(cookie, more), more);
  assert.equal(response.status, 200);
  const { access_token, id_token } = (await response.json()) as { access_token: string; id_token: string };
  return { access: access_token, id: id_token };
}

async function isActive(access: string): Promise<boolean> {
  const response = await sendForm("/oauth2/introspect", { token: access, token_type_hint: "access_token" });
  return ((await response.json()) as { active: boolean }).active;
}

async function isSignedIn(cookie: string): Promise<boolean> {
  return (await (await ask("/get-session", { headers: { cookie } })).json()) !== null;
}

/** No address of the SSO takes this cookie any more. */
async function assertWorthless(cookie: string): Promise<void> {
  assert.equal(await isSignedIn(cookie), false);
  assert.equal((await authorize(cookie)).pathname, "/sign-in");
  assert.equal((await send("/update-user", { name: "Mallory" }, cookie)).status, 401);
  assert.equal((await send("/change-password", { currentPassword: password, newPassword: `${password}!` }, cookie)).status, 401);
  assert.equal((await ask("/list-sessions", { headers: { cookie } })).status, 401);
}

const endSession = (form: Record<string, string>, cookie = "") =>
  POST(new Request(`${ssoUrl}/api/auth/oauth2/end-session`, { method: "POST", headers: { cookie }, body: new URLSearchParams(form) }));

const visitEndSession = (query: Record<string, string>, cookie: string) =>
  GET(new Request(`${ssoUrl}/api/auth/oauth2/end-session?${new URLSearchParams(query)}`, { headers: { cookie } }));

test("there is one cookie, HttpOnly and SameSite=Lax, and none that is believed without the database", async () => {
  const { email } = await signUp();
  const set = (await send("/sign-in/email", { email, password })).headers.getSetCookie();
  assert.deepEqual(set.map((line) => line.split("=", 1)[0]), ["taskflow-sso.session_token"]);
  assert.match(set[0]!, /; HttpOnly/);
  assert.match(set[0]!, /; SameSite=Lax/);
});

test("the dashboard's sign-out ends the session for every copy of the cookie and of the tokens", async () => {
  const { cookie } = await signUp();
  const tokens = await tokensFor(cookie);
  const unused = await codeFor(cookie);
  assert.equal(await isActive(tokens.access), true);

  // As the dashboard sends it: without the browser, and so without its cookie.
  const response = await endSession({ id_token_hint: tokens.id, post_logout_redirect_uri: afterSignOut });
  assert.equal(response.headers.get("location"), afterSignOut);
  await assertWorthless(cookie);
  assert.equal(await isActive(tokens.access), false);
  assert.equal((await ask("/oauth2/userinfo", { headers: { authorization: `Bearer ${tokens.access}` } })).status, 401);
  assert.equal((await exchange(unused)).status, 400);

  // The browser follows, and is sent back without a question and without its cookie.
  const back = await visitEndSession({ client_id: "taskflow-web", post_logout_redirect_uri: afterSignOut }, cookie);
  assert.equal(back.headers.get("location"), afterSignOut);
  assert.match(back.headers.getSetCookie().join(), /taskflow-sso\.session_token=;.*Max-Age=0/);
});

test("signing out at the SSO ends the session for every copy, and the dashboard's tokens", async () => {
  const { cookie } = await signUp();
  const { access } = await tokensFor(cookie);
  assert.equal((await send("/sign-out", {}, cookie)).status, 200);
  await assertWorthless(cookie);
  assert.equal(await isActive(access), false);
});

test("a token that names no API ends too", async () => {
  for (const end of [
    (_: string, cookie: string) => send("/sign-out", {}, cookie),
    (id: string) => endSession({ id_token_hint: id }),
  ]) {
    const { cookie } = await signUp();
    const tokens = await tokensFor(cookie, {});
    assert.equal(tokens.access.split(".").length, 1, "not a JWT: the SSO keeps it");
    assert.equal(await isActive(tokens.access), true);
    await end(tokens.id, cookie);
    assert.equal(await isActive(tokens.access), false);
  }
});

test("other browsers and other people stay signed in", async () => {
  const ada = await signUp();
  const phone = await signIn(ada.email);
  const grace = await signUp();
  const { id } = await tokensFor(ada.cookie);
  await endSession({ id_token_hint: id, post_logout_redirect_uri: afterSignOut });
  assert.deepEqual(await Promise.all([ada.cookie, phone, grace.cookie].map(isSignedIn)), [false, true, true]);
  await send("/sign-out", {}, phone);
  assert.equal(await isSignedIn(grace.cookie), true);
});

test("signing in again in a browser ends the session that it had", async () => {
  const { email, cookie } = await signUp();
  const phone = await signIn(email);
  const next = await signIn(email, cookie);
  await assertWorthless(cookie);
  assert.equal(await isSignedIn(next), true);
  assert.equal(await isSignedIn(phone), true);
});

test("a wrong password ends nothing", async () => {
  const { email, cookie } = await signUp();
  assert.equal((await send("/sign-in/email", { email, password: "not the password" }, cookie)).status, 401);
  assert.equal(await isSignedIn(cookie), true);
});

test("without the session's own ID token the browser is asked first", async () => {
  const ada = await signUp();
  const grace = await signUp();
  const { id } = await tokensFor(ada.cookie);
  const request = { client_id: "taskflow-web", post_logout_redirect_uri: afterSignOut };
  const forged = `${id.slice(0, id.lastIndexOf(".") + 1)}${"A".repeat(86)}`;
  for (const more of [{}, { id_token_hint: forged }, { id_token_hint: "" }]) {
    const response = await visitEndSession({ ...request, ...more }, grace.cookie);
    assert.equal(response.headers.get("location"), `${ssoUrl}/sign-out`, JSON.stringify(more));
  }
  assert.equal((await endSession({ ...request, id_token_hint: forged })).headers.get("location"), `${ssoUrl}/sign-out`);
  assert.deepEqual(await Promise.all([ada.cookie, grace.cookie].map(isSignedIn)), [true, true]);

  // Ada's token in Grace's browser: it ends Ada's session, and asks about the one that is left.
  const response = await visitEndSession({ ...request, id_token_hint: id }, grace.cookie);
  assert.equal(response.headers.get("location"), `${ssoUrl}/sign-out`);
  assert.deepEqual(await Promise.all([ada.cookie, grace.cookie].map(isSignedIn)), [false, true]);
});

test("no address but the registered one is followed", async () => {
  for (const address of ["http://evil.example/", `${webUrl}/elsewhere`, webUrl, "javascript:alert(1)"]) {
    const response = await visitEndSession({ client_id: "taskflow-web", post_logout_redirect_uri: address }, "");
    assert.equal(response.headers.get("location"), `${ssoUrl}/sign-out`, address);
  }
});

test("nobody can register an application, whose addresses a sign-out would follow", async () => {
  const { cookie } = await signUp();
  const wish = { redirect_uris: ["https://evil.example/"], post_logout_redirect_uris: ["https://evil.example/"], enable_end_session: true };
  const api = { identifier: "https://evil.example/", name: "evil" };
  for (const path of ["/oauth2/create-client", "/oauth2/register", "/admin/oauth2/create-client", "/admin/oauth2/resources"]) {
    assert.ok([401, 403, 404].includes((await send(path, { ...wish, ...api }, cookie)).status), path);
  }
  for (const table of ["oauth_client", "oauth_resource"]) assert.equal((await getPool().query(`select from ${table}`)).rowCount, 1);
});

test("a sign-out that the database refuses is not said to have worked, and takes no cookie away", async (t) => {
  t.mock.method(console, "error", () => {});
  const { cookie } = await signUp();
  await getPool().query("alter table session rename to elsewhere");
  const response = await send("/sign-out", {}, cookie).finally(() => getPool().query("alter table elsewhere rename to session"));
  assert.equal(response.status, 500);
  assert.deepEqual(response.headers.getSetCookie(), []);
  assert.equal(await isSignedIn(cookie), true, "so that it can be tried again");
});
