import { html } from 'hono/html'
import { TASKS_LIMIT, type Project, type Task, type Worker } from '../api.ts'
import { csrfField, moment, type Html } from './layout.ts'

export const FILTERS = ['open', 'done', 'all'] as const
export type Filter = (typeof FILTERS)[number]

export const asFilter = (value: unknown): Filter => FILTERS.find((filter) => filter === value) ?? 'open'

/** Characters the API takes for a title or a project's name. */
export const LONGEST = 200

/** What stands in the form, exactly as it was typed. */
export interface TaskForm {
  readonly title: string
  readonly project: string
  readonly assignee: string
}

export type TaskFormErrors = Partial<Record<keyof TaskForm, string>>

export interface TasksView {
  readonly tasks: readonly Task[]
  readonly workers: readonly Worker[]
  readonly projects: readonly Project[]
  readonly filter: Filter
  readonly form: TaskForm
  readonly errors: TaskFormErrors
  readonly csrf: string
}

const TITLES: Record<Filter, string> = { open: 'Open', done: 'Done', all: 'All' }

export function tasksPage(view: TasksView): Html {
  const shown = view.tasks.filter((task) => view.filter === 'all' || task.status === view.filter)
  return html`<h1>Tasks</h1>
      ${createForm(view)}
      <section aria-labelledby="list-heading">
        <div class="list-head">
          <h2 id="list-heading">${TITLES[view.filter]} tasks</h2>
          ${filters(view)}
        </div>
        ${shown.length === 0
          ? html`<p class="empty">${nothing(view)}</p>`
          : html`<ul class="tasks">${shown.map((task) => row(task, view))}</ul>`}
        ${view.tasks.length === TASKS_LIMIT && html`<p class="note">Only the newest ${TASKS_LIMIT} tasks are shown.</p>`}
      </section>`
}

function createForm({ form, errors, projects, workers, csrf }: TasksView): Html {
  return html`<section class="card" aria-labelledby="create-heading">
        <h2 id="create-heading">New task</h2>
        <form method="post" action="/tasks" class="create">
          ${csrfField(csrf)}
          <div class="field wide">
            <label for="title">Title</label>
            <input id="title" name="title" value="${form.title}" required maxlength="${LONGEST}" autocomplete="off"${described('title', errors.title)}>
            ${errorText('title', errors.title)}
          </div>
          <div class="field">
            <label for="project">Project</label>
            <input id="project" name="project" value="${form.project}" list="projects" maxlength="${LONGEST}" autocomplete="off"${described('project', errors.project, 'project-hint')}>
            <datalist id="projects">${projects.map((project) => html`<option value="${project.name}"></option>`)}</datalist>
            ${errorText('project', errors.project)}
            <p class="hint" id="project-hint">Pick one or name a new one. Empty: Inbox.</p>
          </div>
          <div class="field">
            <label for="assignee">Assignee</label>
            <select id="assignee" name="assignee"${described('assignee', errors.assignee)}>${assignees(workers, form.assignee)}</select>
            ${errorText('assignee', errors.assignee)}
          </div>
          <button class="primary">Create task</button>
        </form>
      </section>`
}

function described(field: string, error: string | undefined, hint?: string): Html | '' {
  const ids = [error && `${field}-error`, hint].filter(Boolean).join(' ')
  if (ids === '') return ''
  return html` aria-describedby="${ids}"${error ? html` aria-invalid="true"` : ''}`
}

function errorText(field: string, error: string | undefined): Html | '' {
  return error ? html`<p class="error" id="${field}-error">${error}</p>` : ''
}

function assignees(workers: readonly Worker[], selected: string): Html {
  return html`<option value="">Nobody</option>${workers.map(
    (worker) => html`<option value="${worker.id}"${String(worker.id) === selected ? html` selected` : ''}>${worker.name}</option>`,
  )}`
}

function filters({ tasks, filter }: TasksView): Html {
  const count = (of: Filter) => tasks.filter((task) => of === 'all' || task.status === of).length
  return html`<nav class="filters" aria-label="Filter">
            <ul>${FILTERS.map((of) => html`
              <li><a href="/?show=${of}"${of === filter ? html` aria-current="true"` : ''}>${TITLES[of]} <span class="count">${count(of)}</span></a></li>`)}
            </ul>
          </nav>`
}

function nothing({ tasks, filter }: TasksView): string {
  if (tasks.length === 0) return 'No tasks yet. Create the first one above.'
  return filter === 'open' ? 'Nothing is open. Well done!' : 'Nothing is done yet.'
}

function row(task: Task, { workers, filter, csrf }: TasksView): Html {
  const done = task.status === 'done'
  const select = `assignee-${task.id}`
  // The hidden half of a button's name says which task it is about, for those who hear the buttons without the row.
  const forTask = html`<span class="hidden"> ${task.title}</span>`
  return html`
          <li class="task${done ? ' done' : ''}">
            <div class="what">
              <h3>${task.title}</h3>
              <p class="facts">
                <span class="tag">${task.project_name}</span>
                <span>${task.assignee_name === null ? 'Nobody assigned' : html`Assigned to ${task.assignee_name}`}</span>
                <span>${done && task.completed_at ? html`Done ${moment(task.completed_at)}` : html`Created ${moment(task.created_at)}`}</span>
              </p>
            </div>
            <div class="do">
              ${!done && html`<form method="post" action="/tasks/${task.id}/assign" class="assign">
                ${csrfField(csrf)}${showField(filter)}
                <label class="hidden" for="${select}">Assign ${task.title} to</label>
                <select id="${select}" name="assignee">${assignees(workers, String(task.assignee_id ?? ''))}</select>
                <button>Assign${forTask}</button>
              </form>`}
              <form method="post" action="/tasks/${task.id}/${done ? 'reopen' : 'complete'}">
                ${csrfField(csrf)}${showField(filter)}
                <button class="${done ? '' : 'good'}">${done ? 'Re-open' : 'Complete'}${forTask}</button>
              </form>
            </div>
          </li>`
}

/** So that the list comes back as it was. */
function showField(filter: Filter): Html {
  return html`<input type="hidden" name="show" value="${filter}">`
}
