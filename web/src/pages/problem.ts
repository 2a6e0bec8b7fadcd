import { html } from 'hono/html'
import type { Html } from './layout.ts'

export interface Problem {
  readonly heading: string
  readonly text: string
  /** What to do next: a page, or signing in. */
  readonly next: { readonly href: string; readonly name: string } | 'sign-in'
}

export function problemPage(problem: Problem, webUrl: string): Html {
  const { next } = problem
  return html`<section class="welcome">
        <div>
          <h1>${problem.heading}</h1>
          <p class="lead">${problem.text}</p>
          <div class="actions">${next === 'sign-in'
          ? html`<form method="get" action="${webUrl}/auth/sign-in"><button class="primary">Sign in</button></form>`
          : html`<a class="button primary" href="${next.href}">${next.name}</a>`}</div>
        </div>
      </section>`
}
