-- How much of the catalogue has a score, per model: videos without any row count as not scored.
WITH models AS (
  SELECT DISTINCT dataset, split, model FROM `${dataset}.scores`
)
SELECT
  c.dataset,
  c.split,
  m.model,
  COUNT(DISTINCT c.video_id) AS videos,
  COUNT(DISTINCT CASE WHEN s.status = 'scored' THEN c.video_id END) AS scored,
  COUNT(DISTINCT CASE WHEN s.status = 'failed' THEN c.video_id END) AS failed,
  COUNT(DISTINCT CASE WHEN s.status = 'scored' THEN c.video_id END)
    / COUNT(DISTINCT c.video_id) AS coverage
FROM `${dataset}.catalog` AS c
JOIN models AS m
  ON m.dataset = c.dataset AND m.split = c.split
LEFT JOIN `${dataset}.scores_current` AS s
  ON s.dataset = c.dataset AND s.split = c.split AND s.model = m.model AND s.video_id = c.video_id
GROUP BY c.dataset, c.split, m.model
