import { eq } from "drizzle-orm";
import { compactVerify, createLocalJWKSet } from "jose";

import { getAuth } from "../../../../../auth.ts";
import { getDatabase } from "../../../../../db/client.ts";
import { oauthClient } from "../../../../../db/schema.ts";
import { readEnv } from "../../../../../env.ts";
import { endSession } from "../../../../../sessions.ts";

/**
 * Signs out at the request of an application (OpenID Connect RP-Initiated Logout). With an ID token of the session it ends that
 * session, whoever sends the request: the dashboard does, with POST. Then it sends the browser back, unless a session is left in
 * it: then the user is asked first, on our own page.
 *
 * This takes the place of the OAuth provider's endpoint, which fetches the keys to check the token from SSO_URL: from within a
 * container that is not this service. It also asks with a page whose policy keeps browsers from following its form's redirect.
 */
async function signOut(params: URLSearchParams, browser: Headers): Promise<Response> {
  const auth = getAuth();
  const signOutPage = `${readEnv().ssoUrl}/sign-out`;

  const hint = params.get("id_token_hint");
  const token = await readIdToken(hint);
  const clientId = token?.aud ?? params.get("client_id") ?? "";
  const [client] = await getDatabase().select().from(oauthClient).where(eq(oauthClient.clientId, clientId));
  if ((hint !== null && !token) || !client?.enableEndSession || client.disabled) return Response.redirect(signOutPage, 303);

  if (token) await endSession(await auth.$context, token.sid);
  if (await auth.api.getSession({ headers: browser })) return Response.redirect(signOutPage, 303);

  const { headers } = await auth.api.signOut({ headers: browser, returnHeaders: true }); // takes the cookie away
  // Only an address that is registered, to the letter, is followed.
  const requested = params.get("post_logout_redirect_uri") ?? "";
  const target = new URL(client.postLogoutRedirectUris?.includes(requested) ? requested : signOutPage);
  const state = params.get("state");
  if (state !== null) target.searchParams.set("state", state);
  headers.set("location", target.href);
  return new Response(null, { status: 303, headers });
}

export const GET = (request: Request): Promise<Response> => signOut(new URL(request.url).searchParams, request.headers);

export const POST = async (request: Request): Promise<Response> =>
  signOut(new URLSearchParams(await request.text()), request.headers);

interface IdToken {
  readonly aud: string;
  readonly sid: string;
}

/** The ID token when it is one of ours. It may have expired: it only has to show who wants to sign whom out. */
async function readIdToken(hint: string | null): Promise<IdToken | undefined> {
  if (!hint) return undefined;
  try {
    const { payload } = await compactVerify(hint, createLocalJWKSet(await getAuth().api.getJwks()), { algorithms: ["EdDSA"] });
    const { iss, aud, sid } = JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>;
    return iss === readEnv().ssoUrl && typeof aud === "string" && typeof sid === "string" ? { aud, sid } : undefined;
  } catch {
    return undefined;
  }
}
