"use client";

import { useActionState, type HTMLInputTypeAttribute } from "react";

import type { FormState } from "./actions.ts";

interface Props {
  readonly action: (state: FormState, form: FormData) => Promise<FormState>;
  readonly button: string;
  /** The page's own query string: an OAuth request, if there is one. */
  readonly query: string;
  /** Given for a new account: asks for a name too, and for a password of at least this length. */
  readonly minPasswordLength?: number;
}

/** The form to sign in or up. It works before, and without, its script: then the page is loaded anew with the answer. */
export function AccountForm({ action, button, query, minPasswordLength }: Props) {
  const [state, submit, pending] = useActionState(action, {});
  const isNew = minPasswordLength !== undefined;
  return (
    <form action={submit}>
      {state.error && (
        <p role="alert" className="error">
          {state.error}
        </p>
      )}
      <input type="hidden" name="query" value={query} />
      {isNew && <Field name="name" label="Name" autoComplete="name" value={state.name} maxLength={100} />}
      <Field name="email" label="E-mail address" type="email" autoComplete="username" value={state.email} />
      <Field
        name="password"
        label="Password"
        type="password"
        autoComplete={isNew ? "new-password" : "current-password"}
        hint={isNew ? `At least ${minPasswordLength} characters` : undefined}
        minLength={minPasswordLength}
        maxLength={128}
      />
      <button disabled={pending}>{button}</button>
    </form>
  );
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly autoComplete: string;
  readonly type?: HTMLInputTypeAttribute;
  readonly value?: string | undefined;
  readonly hint?: string | undefined;
  readonly minLength?: number | undefined;
  readonly maxLength?: number;
}

function Field({ name, label, type = "text", value, hint, ...input }: FieldProps) {
  return (
    <p className="field">
      <label htmlFor={name}>{label}</label>
      <input id={name} name={name} type={type} defaultValue={value} required aria-describedby={hint && `${name}-hint`} {...input} />
      {hint && <small id={`${name}-hint`}>{hint}</small>}
    </p>
  );
}
