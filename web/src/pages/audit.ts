import { html } from 'hono/html'
import type { AuditEntry } from '../api.ts'
import { moment, type Html } from './layout.ts'

/** The roles are written out because the style sheet stacks the cells on a phone, and browsers then forget the table. */
export function auditPage(entries: readonly AuditEntry[], limit: number): Html {
  return html`<h1>Audit</h1>
      <p class="lead">Every change and who made it, newest first${entries.length === limit ? ` (the latest ${limit})` : ''}.</p>
      ${entries.length === 0
        ? html`<p class="empty">Nothing has happened yet.</p>`
        : html`<div class="card table stacked">
        <table role="table">
          <caption class="hidden">Audit trail</caption>
          <thead role="rowgroup"><tr role="row">${['When', 'Who', 'Action', 'What', 'Details'].map(
            (name) => html`<th role="columnheader" scope="col">${name}</th>`,
          )}</tr></thead>
          <tbody role="rowgroup">${entries.map((entry) => html`
            <tr role="row">
              <td role="cell" class="when">${moment(entry.at)}</td>
              <td role="cell" class="any-length">${entry.actor_name}</td>
              <td role="cell"><span class="tag">${entry.action}</span></td>
              <td role="cell" class="subject">${entry.entity} ${entry.entity_id}</td>
              <td role="cell" class="any-length detail">${entry.detail}</td>
            </tr>`)}
          </tbody>
        </table>
      </div>`}`
}
