/** Loaded with --import into a server process: SIGWINCH causes an unhandled rejection, SIGURG an uncaught exception. */
process.on('SIGWINCH', () => void Promise.reject(new Error('a stray rejection')));
process.on('SIGURG', () => {
  throw new Error('a stray error');
});
