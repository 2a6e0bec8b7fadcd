/** Why something failed, for the log: fetch and the OAuth library keep it in the cause of what they throw ("fetch failed"). */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reason(error.cause)
  // One attempt for each address that a name has.
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0])
  return error.message
}
