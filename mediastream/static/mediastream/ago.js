// The age of a picture, in words.

export const TOLD_FROM = 5; // seconds: the age of a picture that is younger goes without saying

export function ago(seconds) {
  const [unit, name] = [[86400, "days"], [3600, "h"], [60, "min"]].find(([unit]) => seconds >= 2 * unit) ?? [1, "s"];
  return `${Math.max(Math.floor(seconds / unit), 0)} ${name}`;
}
