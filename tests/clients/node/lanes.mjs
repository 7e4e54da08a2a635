// Do something with each of a list, some of them at once: as many as a small machine bears.
const LANES = 12;

export async function inLanes(list, work) {
  const results = new Array(list.length);
  let next = 0;
  const lane = async () => {
    while (next < list.length) {
      const at = next++;
      results[at] = await work(list[at]);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return results;
}
