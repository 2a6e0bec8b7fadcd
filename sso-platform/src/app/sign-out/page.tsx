import type { Metadata } from "next";
import Link from "next/link";

import { signOut } from "../actions.ts";
import { getUser } from "../session.ts";

export const metadata: Metadata = { title: "Sign out" };

export default async function SignOutPage() {
  const user = await getUser();
  if (!user) {
    return (
      <>
        <h1>You are signed out</h1>
        <p>
          <Link href="/sign-in">Sign in again</Link>
        </p>
      </>
    );
  }
  return (
    <>
      <h1>Sign out</h1>
      <p>You are signed in as {user.email}.</p>
      <form action={signOut}>
        <button>Sign out</button>
      </form>
    </>
  );
}
