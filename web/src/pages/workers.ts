import { html } from 'hono/html'
import type { Task, Worker } from '../api.ts'
import type { Html } from './layout.ts'

export function workersPage(workers: readonly Worker[], tasks: readonly Task[]): Html {
  const open = (worker: Worker) => tasks.filter((task) => task.status === 'open' && task.assignee_id === worker.id).length
  return html`<h1>Workers</h1>
      <p class="lead">Everyone who has signed in here at least once. Tasks can be assigned to them.</p>
      <div class="card table">
        <table>
          <caption class="hidden">Workers</caption>
          <thead><tr><th scope="col">Name</th><th scope="col">E-mail</th><th scope="col" class="number">Open tasks</th></tr></thead>
          <tbody>${workers.map((worker) => html`
            <tr><th scope="row" class="any-length">${worker.name}</th><td class="any-length">${worker.email}</td><td class="number">${open(worker)}</td></tr>`)}
          </tbody>
        </table>
      </div>`
}
