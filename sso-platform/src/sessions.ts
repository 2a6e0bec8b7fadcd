/** Ending sessions for good: in the database, so that no copy of a cookie or token is worth anything afterwards. */
import type { DBAdapter, GenericEndpointContext } from "better-auth";

/** Deletes the session and the tokens that came of it. Throws when the database does not. */
export async function endSession({ adapter }: { adapter: Pick<DBAdapter, "deleteMany"> }, id: string): Promise<void> {
  // The tokens first: without their session they would count as bound to none.
  for (const model of ["oauthAccessToken", "oauthRefreshToken"]) {
    await adapter.deleteMany({ model, where: [{ field: "sessionId", value: id }] });
  }
  await adapter.deleteMany({ model: "session", where: [{ field: "id", value: id }] });
}

/** Ends the session of the browser that sends this request, if it has one. */
export async function endSessionOfBrowser(ctx: GenericEndpointContext): Promise<void> {
  const { authCookies, internalAdapter, secret } = ctx.context;
  const token = await ctx.getSignedCookie(authCookies.sessionToken.name, secret);
  const found = token ? await internalAdapter.findSession(token) : null;
  if (found) await endSession(ctx.context, found.session.id);
}
