"use client";

export default function ErrorPage() {
  return (
    <>
      <h1>This does not work at the moment</h1>
      <p role="alert">The sign-in service cannot reach its database. Try again in a moment.</p>
    </>
  );
}
