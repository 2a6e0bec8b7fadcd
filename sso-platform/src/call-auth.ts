import { getAuth } from "./auth.ts";
import { readEnv } from "./env.ts";

// What better-auth looks at: whose session, whose form, whose attempts.
const forwarded = ["cookie", "origin", "referer", "user-agent", "x-forwarded-for"];

interface Call {
  readonly path: string;
  readonly headers: Headers;
  /** Sent as JSON with POST; without it the call is a GET. */
  readonly body?: Record<string, string>;
  /** Takes the place of the browser's cookies. */
  readonly cookie?: string;
}

/**
 * Calls an endpoint of better-auth as the browser would. Unlike its functions (`auth.api.…`), its handler counts attempts and
 * checks where the form came from.
 */
export async function callAuth({ path, headers, body, cookie }: Call): Promise<Response> {
  const request = new Headers({ accept: "application/json" });
  for (const name of forwarded) {
    const value = headers.get(name);
    if (value !== null) request.set(name, value);
  }
  if (cookie !== undefined) request.set("cookie", cookie);
  if (body) request.set("content-type", "application/json");
  return getAuth().handler(
    new Request(`${readEnv().ssoUrl}/api/auth${path}`, {
      method: body ? "POST" : "GET",
      headers: request,
      ...(body && { body: JSON.stringify(body) }),
    }),
  );
}
