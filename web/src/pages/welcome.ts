import { html } from 'hono/html'
import type { Html } from './layout.ts'

/** The start page of somebody who is not signed in. */
export function welcomePage(webUrl: string): Html {
  // Absolute addresses: the SSO sends the browser back to webUrl, so the sign-in has to begin (and leave its cookie) there
  // even when this page was opened as 127.0.0.1 instead of localhost.
  return html`<section class="welcome">
        <div>
          <h1>Know what is being done, and by whom</h1>
          <p class="lead">taskflow keeps your team's tasks in one list: who has which, what is open, what is done, and a trail of every change.</p>
          <div class="actions">
            <form method="get" action="${webUrl}/auth/sign-in"><button class="primary">Sign in</button></form>
            <a class="button" href="${webUrl}/auth/sign-up">Create an account</a>
          </div>
          <p class="note">You sign in with your account of the single sign-on and come straight back here.</p>
        </div>
        <ul class="card sample" aria-hidden="true">
          <li class="done"><span class="bar a"></span></li>
          <li class="done"><span class="bar b"></span></li>
          <li><span class="bar c"></span></li>
          <li><span class="bar b"></span></li>
        </ul>
      </section>`
}
