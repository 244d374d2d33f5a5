/** The tables: medians of the rounds, and the ratios that have goals. */
import { type JobName, jobTitles } from './jobs.js';

/** One server in one round of one job. */
export interface Sample {
  /** Microseconds of server CPU time per request. */
  cpu: number;
  /** Requests per second of wall-clock time. */
  rate: number;
  /** Milliseconds. */
  p50: number;
}

export interface Result {
  label: string;
  samples: readonly Sample[];
}

interface Goal {
  job: JobName;
  /** Beginning of the other server's label. */
  against: string;
  ratio: number;
}

const goals: readonly Goal[] = [
  { job: 'page', against: '(b)', ratio: 2.0 },
  { job: 'page', against: '(d)', ratio: 1.5 },
  { job: 'page', against: '(c)', ratio: 0.5 },
  { job: 'one', against: '(b)', ratio: 0.7 },
  { job: 'post', against: '(b)', ratio: 0.8 },
];

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

function cells({ label, samples }: Result): string[] {
  const cpu = samples.map((sample) => sample.cpu);
  return [
    label,
    median(cpu).toFixed(1),
    `${Math.min(...cpu).toFixed(0)}-${Math.max(...cpu).toFixed(0)}`,
    String(Math.round(1e6 / median(cpu))),
    String(Math.round(median(samples.map((sample) => sample.rate)))),
    median(samples.map((sample) => sample.p50)).toFixed(2),
  ];
}

const head = ['server', 'CPU µs/request', 'range', 'requests/CPU s', 'requests/s', 'p50 ms'];

function plain(rows: readonly string[][]): string[] {
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
}

function markdown([first = [], ...rest]: readonly string[][]): string[] {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`;
  return [line(first), line(first.map((_, column) => (column === 0 ? '---' : '---:'))), ...rest.map(line)];
}

/**
 * The ratio of requests per CPU second, Copse over the other: the median of the ratios of the rounds, each measured
 * side by side.
 */
function ratio(copse: Result, other: Result): number {
  return median(copse.samples.map((sample, round) => (other.samples[round]?.cpu ?? 0) / sample.cpu));
}

function verdicts(job: JobName, copse: Result, others: readonly Result[]): string[] {
  return others
    .filter(({ label }) => !label.startsWith('(a)'))
    .map((other) => {
      const found = ratio(copse, other);
      const goal = goals.find((one) => one.job === job && other.label.startsWith(one.against));
      const verdict =
        goal === undefined
          ? 'no goal'
          : `goal ${goal.ratio.toFixed(2)}: ${found >= goal.ratio ? 'met' : 'MISSED'}`;
      return `${copse.label} / ${other.label}: ${found.toFixed(2)} (${verdict})`;
    });
}

/** `results` begins with Copse; other builds of it follow, then the baselines. */
export function report(job: JobName, results: readonly Result[], bytes: number, asMarkdown: boolean): string {
  const mine = results.filter(({ label }) => !label.startsWith('('));
  const others = results.filter(({ label }) => label.startsWith('('));
  const title = `${jobTitles[job]}, ${bytes} bytes`;
  const rows = [head, ...results.map(cells)];
  const ratios = mine.flatMap((copse) => verdicts(job, copse, others));
  return asMarkdown
    ? [`### ${title}`, '', ...markdown(rows), '', ...ratios.map((text) => `- ${text}`), ''].join('\n')
    : [title, '', ...plain(rows), '', ...ratios, ''].join('\n');
}
