/**
 * The OAuth request that a browser brings along when the authorize endpoint sends it to our sign-in page.
 *
 * It travels in the page's query string. After signing in the request is given to the authorize endpoint once more, which
 * checks all of it again; nothing here has to be trusted, and no address in it is ever followed by us.
 */

// Added by the provider for pages that continue without asking authorize again. They expire after ten minutes, which someone
// who looks for a password may well need.
const bookkeeping = ["sig", "exp", "ba_iat", "ba_param", "ba_pl"];

/** The query for the authorize endpoint after signing in, or undefined when the page was opened without an OAuth request. */
export function authorizeQuery(pageQuery: string): string | undefined {
  const params = new URLSearchParams(pageQuery);
  if (!params.has("client_id")) return undefined;
  for (const name of bookkeeping) params.delete(name);
  // What it asks for, a fresh sign-in, has just happened. Left in, it would lead to the sign-in page again.
  params.delete("prompt");
  return params.toString();
}

/** A page's search parameters, as Next hands them over, as a query string. */
export function toQuery(searchParams: Record<string, string | string[] | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(searchParams)) {
    for (const item of [value ?? []].flat()) params.append(name, item);
  }
  return params.toString();
}
