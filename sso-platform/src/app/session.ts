import { headers } from "next/headers";

import { getAuth } from "../auth.ts";

/** Who is signed in in this browser, or null. */
export async function getUser() {
  const session = await getAuth().api.getSession({ headers: await headers() });
  return session?.user ?? null;
}
