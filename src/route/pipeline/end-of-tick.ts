let end: Promise<void> | undefined;

/**
 * The end of the event loop's current tick. Answers of one tick are sent together there: each send that finds its
 * client asleep costs 20 µs for waking it, and a client that is awake takes the others for nothing. Redis writes its
 * replies in the same way.
 */
export function endOfTick(): Promise<void> {
  return (end ??= new Promise((resolve) => {
    setImmediate(() => {
      end = undefined;
      resolve();
    });
  }));
}
