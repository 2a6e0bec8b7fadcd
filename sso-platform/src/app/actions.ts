"use server";

import { parseSetCookieHeader, toCookieOptions } from "better-auth/cookies";
import { cookies, headers } from "next/headers";
import { redirect } from "next/navigation";

import { callAuth } from "../call-auth.ts";
import { minPasswordLength, readEnv } from "../env.ts";
import { authorizeQuery } from "../oauth-request.ts";

/** What a form shows after it was refused: the reason, and what was typed, except the password. */
export interface FormState {
  readonly error?: string;
  readonly name?: string;
  readonly email?: string;
}

export async function signIn(_: FormState, form: FormData): Promise<FormState> {
  const email = field(form, "email").trim();
  const response = await post("/sign-in/email", { email, password: field(form, "password") });
  if (!response.ok) return { error: await explain(response), email };
  return enter(response, form);
}

export async function signUp(_: FormState, form: FormData): Promise<FormState> {
  const name = field(form, "name").trim();
  const email = field(form, "email").trim();
  if (name === "") return { error: "Enter your name.", name, email };
  const response = await post("/sign-up/email", { name, email, password: field(form, "password") });
  if (!response.ok) return { error: await explain(response), name, email };
  return enter(response, form);
}

export async function signOut(): Promise<void> {
  const response = await post("/sign-out", {});
  if (!response.ok) throw new Error(`signing out: ${response.status}`);
  await storeCookies(response);
  redirect("/sign-out");
}

function field(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}

async function post(path: string, body: Record<string, string>): Promise<Response> {
  return callAuth({ path, headers: await headers(), body });
}

/** Starts the session in the browser and goes on: back to the application that asked for the sign-in, else home. */
async function enter(response: Response, form: FormData): Promise<never> {
  await storeCookies(response);
  const query = authorizeQuery(field(form, "query"));
  if (!query) redirect("/");

  const cookie = response.headers.getSetCookie().map((header) => header.split(";", 1)[0]).join("; ");
  const answer = await callAuth({ path: `/oauth2/authorize?${query}`, headers: await headers(), cookie });
  const { url } = (await answer.json()) as { url?: string };
  redirect(url ?? "/");
}

async function storeCookies(response: Response): Promise<void> {
  const store = await cookies();
  const received = parseSetCookieHeader(response.headers.get("set-cookie") ?? "");
  for (const [name, cookie] of received) store.set(name, cookie.value, toCookieOptions(cookie));
}

async function explain(response: Response): Promise<string> {
  if (response.status === 429) return "Too many attempts. Wait a minute, then try again.";
  const { code } = (await response.json().catch(() => ({}))) as { code?: string };
  switch (code) {
    case "INVALID_EMAIL_OR_PASSWORD":
      return "The e-mail address or the password is wrong.";
    case "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL":
      return "There is already an account with this e-mail address. Sign in instead.";
    case "INVALID_EMAIL":
      return "Enter a complete e-mail address.";
    case "INVALID_PASSWORD":
    case "PASSWORD_TOO_SHORT":
      return `Choose a password of at least ${minPasswordLength} characters.`;
    case "PASSWORD_TOO_LONG":
      return "Choose a password of at most 128 characters.";
    case "INVALID_ORIGIN":
      return `Open this page at ${readEnv().ssoUrl} and try again.`;
    default:
      return "Signing in does not work at the moment. Try again later.";
  }
}
