import { eq } from "drizzle-orm";
import { compactVerify, createLocalJWKSet } from "jose";

import { getAuth } from "../../../../../auth.ts";
import { getDatabase } from "../../../../../db/client.ts";
import { oauthClient } from "../../../../../db/schema.ts";
import { readEnv } from "../../../../../env.ts";

/**
 * Signs out at the request of the application whose ID token is shown (OpenID Connect RP-Initiated Logout). Without a valid
 * token the user is asked first, on our own page.
 *
 * This takes the place of the OAuth provider's endpoint, which fetches the keys to check the token from SSO_URL: from within a
 * container that is not this service. It also asks with a page whose policy keeps browsers from following its form's redirect.
 */
export async function GET(request: Request): Promise<Response> {
  const auth = getAuth();
  const params = new URL(request.url).searchParams;
  const token = await readIdToken(params.get("id_token_hint"));
  const session = await auth.api.getSession({ headers: request.headers });
  const [client] = token ? await getDatabase().select().from(oauthClient).where(eq(oauthClient.clientId, token.aud)) : [];

  const signOutPage = `${readEnv().ssoUrl}/sign-out`;

  const mayEnd = token && client?.enableEndSession && !client.disabled;
  if (!mayEnd || (session && session.session.id !== token.sid)) return Response.redirect(signOutPage, 303);

  const { headers } = await auth.api.signOut({ headers: request.headers, returnHeaders: true });
  // Only an address that is registered, to the letter, is followed.
  const requested = params.get("post_logout_redirect_uri") ?? "";
  const target = new URL(client.postLogoutRedirectUris?.includes(requested) ? requested : signOutPage);
  const state = params.get("state");
  if (state !== null) target.searchParams.set("state", state);
  headers.set("location", target.href);
  return new Response(null, { status: 303, headers });
}

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
