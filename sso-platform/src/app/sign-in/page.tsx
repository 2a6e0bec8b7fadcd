import type { Metadata } from "next";
import Link from "next/link";

import { toQuery } from "../../oauth-request.ts";
import { AccountForm } from "../account-form.tsx";
import { signIn } from "../actions.ts";

export const metadata: Metadata = { title: "Sign in" };

export default async function SignInPage({ searchParams }: PageProps<"/sign-in">) {
  const query = toQuery(await searchParams);
  return (
    <>
      <h1>Sign in</h1>
      <AccountForm action={signIn} button="Sign in" query={query} />
      <p>
        No account yet? <Link href={`/sign-up?${query}`}>Create one</Link>
      </p>
    </>
  );
}
