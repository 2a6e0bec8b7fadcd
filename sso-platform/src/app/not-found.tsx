import Link from "next/link";

export default function NotFoundPage() {
  return (
    <>
      <h1>There is no such page</h1>
      <p>
        <Link href="/">To the start</Link>
      </p>
    </>
  );
}
