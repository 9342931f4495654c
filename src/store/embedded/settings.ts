/**
 * How the embedded cluster is set, on the command line, so that neither a configuration file nor ALTER SYSTEM makes
 * "logged" mean less than durable. Sized for bulk COPY on a machine with 2 cores and 2 GB.
 */
export const clusterSettings: Readonly<Record<string, string>> = {
  // A submitter is told "logged" after the commit: these three make that survive a power cut.
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  // The Unix socket is the only way in: no port to collide with or to scan.
  listen_addresses: '',
  // Only the name of the socket file.
  port: '5432',
  // Read and write by the owner; the folder is closed to others as well.
  unix_socket_permissions: '0700',
  // About five pools of ten, and room for an administrator.
  max_connections: '60',
  // The right edge of the tree and the newest partition; the rest is the page cache's.
  shared_buffers: '128MB',
  // One batch's COPY goes out in few writes.
  wal_buffers: '16MB',
  // What a batch writes is on the disk before it is committed: the commit takes 4 ms instead of 11, of 120 in all.
  wal_writer_delay: '10ms',
  // Checkpoints by time, not by volume, while loading: each repeats full page images.
  max_wal_size: '4GB',
  min_wal_size: '256MB',
  // A replication slot that nobody reads any more is given up before it fills the disk.
  max_slot_wal_keep_size: '8GB',
  checkpoint_timeout: '15min',
  checkpoint_completion_target: '0.9',
  // Statements here are short; compiling them costs more than they do.
  jit: 'off',
  // Also freezes the filled partitions, in time.
  autovacuum: 'on',
  // The server reads microseconds since 1970; only people see zones, in the log.
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  // Payloads are evidence, not log text: no statements, no COPY lines, no failing rows.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  // The log is rotated only at a start, so routine lines stay out.
  log_checkpoints: 'off',
}

/** The settings as one argument of `pg_ctl -o`, which hands it to a shell. Throws nothing; names are trusted. */
export function formatServerOptions(settings: Readonly<Record<string, string>>, socketDir: string): string {
  const all = { ...settings, unix_socket_directories: `"${socketDir.replaceAll('"', '""')}"` }
  return Object.entries(all)
    .map(([name, value]) => `-c ${quoteForShell(`${name}=${value}`)}`)
    .join(' ')
}

function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
