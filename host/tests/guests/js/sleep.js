export async function sleep(ms, outcomes) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return outcomes;
}
