import type { Metadata } from "next";
import type { ReactNode } from "react";

import "./globals.css";

export const metadata: Metadata = { title: { default: "Taskflow sign-in", template: "%s · Taskflow" } };

// Every page is made per request: it shows who is signed in, and its scripts carry the nonce of the Content-Security-Policy.
export const dynamic = "force-dynamic";

export default function Layout({ children }: { readonly children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <main>{children}</main>
      </body>
    </html>
  );
}
