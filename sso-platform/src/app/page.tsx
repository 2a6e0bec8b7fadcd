import Link from "next/link";

import { readEnv } from "../env.ts";
import { signOut } from "./actions.ts";
import { getUser } from "./session.ts";

export default async function HomePage() {
  const user = await getUser();
  if (!user) {
    return (
      <>
        <h1>Taskflow sign-in</h1>
        <p>You are not signed in.</p>
        <p>
          <Link href="/sign-in">Sign in</Link> or <Link href="/sign-up">create an account</Link>.
        </p>
      </>
    );
  }
  return (
    <>
      <h1>Taskflow sign-in</h1>
      <p>
        Signed in as <strong>{user.name}</strong> ({user.email}).
      </p>
      <p>
        <a href={readEnv().webUrl}>Go to the dashboard</a>
      </p>
      <form action={signOut}>
        <button>Sign out</button>
      </form>
    </>
  );
}
