import { html } from 'hono/html'
import type { Worker } from '../api.ts'

/** hono/html escapes every value put into a template, unless it is itself the result of one. */
export type Html = ReturnType<typeof html>

/** What a page needs to know about the person it is for. */
export interface Visitor {
  readonly me: Pick<Worker, 'name'> | undefined
  readonly csrf: string
}

export interface Message {
  readonly tone: 'good' | 'bad'
  readonly text: string
}

export interface Frame {
  readonly title: string
  /** The path of the page, when it is one of the navigation. */
  readonly at?: string
  /** Undefined: nobody is signed in. */
  readonly visitor?: Visitor | undefined
  readonly message?: Message | undefined
  readonly stylesheet: string
}

const NAVIGATION = [
  ['/', 'Tasks'],
  ['/workers', 'Workers'],
  ['/audit', 'Audit'],
] as const

export function layout(frame: Frame, content: Html): Html {
  const { visitor } = frame
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${frame.message?.tone === 'bad' ? 'Error: ' : ''}${frame.title} · taskflow</title>
    <link rel="stylesheet" href="${frame.stylesheet}">
    <link rel="icon" href="/icon.svg" type="image/svg+xml">
  </head>
  <body>
    <a class="skip" href="#content">Skip to content</a>
    <header class="top">
      <div class="wrap">
        <a class="brand" href="/"><img src="/icon.svg" alt="" width="28" height="28">taskflow</a>
        ${visitor && navigation(frame.at)}
        ${visitor && account(visitor)}
      </div>
    </header>
    <main id="content" class="wrap" tabindex="-1">
      ${announcement(frame.message)}
      ${content}
    </main>
    <footer class="wrap"><p>taskflow dashboard</p></footer>
  </body>
</html>`
}

function navigation(at: string | undefined): Html {
  return html`<nav aria-label="Main">
          <ul>${NAVIGATION.map(([path, name]) => html`
            <li><a href="${path}"${path === at ? html` aria-current="page"` : ''}>${name}</a></li>`)}
          </ul>
        </nav>`
}

function account(visitor: Visitor): Html {
  return html`<div class="account">
          ${visitor.me && html`<p><span class="hidden">Signed in as </span>${visitor.me.name}</p>`}
          <form method="post" action="/auth/sign-out">
            ${csrfField(visitor.csrf)}
            <button class="quiet">Sign out</button>
          </form>
        </div>`
}

/** The live regions are on every page, so that a reader knows them before something is said in them. */
function announcement(message: Message | undefined): Html {
  const text = (tone: Message['tone']) => message?.tone === tone && html`<p class="message ${tone}">${message.text}</p>`
  return html`<div role="status" aria-live="polite">${text('good')}</div>
      <div role="alert">${text('bad')}</div>`
}

export function csrfField(token: string): Html {
  return html`<input type="hidden" name="csrf" value="${token}">`
}

const DAY_AND_TIME = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })

/** The server does not know the reader's time zone, so it says which one it means. */
export function moment(iso: string): Html {
  // A time without a zone is in UTC: that is what the database keeps.
  const date = new Date(/Z|[+-]\d\d:?\d\d$/.test(iso) ? iso : `${iso}Z`)
  if (Number.isNaN(date.valueOf())) return html`${iso}`
  return html`<time datetime="${date.toISOString()}">${DAY_AND_TIME.format(date)} UTC</time>`
}
