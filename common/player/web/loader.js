// Unpacks the player's script, whose digest the page's policy names, and runs it.
(async () => {
  const letters = atob(document.getElementById('player-code').textContent);
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  const script = document.createElement('script');
  script.textContent = await new Response(plain).text();
  document.body.append(script);
})().catch(() => {
  for (const root of document.querySelectorAll('.player')) {
    root.textContent = 'This browser is too old to show the motions (it needs DecompressionStream, 2023, and WebGL 2).';
  }
});
