import type { Metadata } from "next";

import { readEnv } from "../../env.ts";

export const metadata: Metadata = { title: "Sign-in failed" };

/** Where the OAuth provider sends a browser whose request is too wrong to be answered to the application. */
export default async function FailedPage({ searchParams }: PageProps<"/failed">) {
  const { error } = await searchParams;
  // Anyone can write this address: only something that looks like an error code is shown, no sentences.
  const code = typeof error === "string" && /^[a-z_]{1,40}$/.test(error) ? ` (${error})` : "";
  return (
    <>
      <h1>Sign-in failed</h1>
      <p role="alert">The application asked for a sign-in that is not allowed{code}.</p>
      <p>
        <a href={readEnv().webUrl}>Back to the dashboard</a>
      </p>
    </>
  );
}
