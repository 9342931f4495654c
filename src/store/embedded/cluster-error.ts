/** The embedded PostgreSQL cannot be used as asked. The message names the folder and what to do. */
export class ClusterError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ClusterError'
  }
}
