import type { Metadata } from "next";
import Link from "next/link";

import { minPasswordLength } from "../../env.ts";
import { toQuery } from "../../oauth-request.ts";
import { AccountForm } from "../account-form.tsx";
import { signUp } from "../actions.ts";

export const metadata: Metadata = { title: "Create an account" };

export default async function SignUpPage({ searchParams }: PageProps<"/sign-up">) {
  const query = toQuery(await searchParams);
  return (
    <>
      <h1>Create an account</h1>
      <AccountForm action={signUp} button="Create account" query={query} minPasswordLength={minPasswordLength} />
      <p>
        Already have an account? <Link href={`/sign-in?${query}`}>Sign in</Link>
      </p>
    </>
  );
}
