-- Where two models, or two versions of the bytes, gave one video different scores: newest first.
SELECT
  dataset,
  split,
  video_id,
  model,
  content_version,
  score,
  LAG(score) OVER video AS previous_score,
  LAG(model) OVER video AS previous_model,
  score - LAG(score) OVER video AS change,
  scored_at
FROM `${dataset}.scores`
WHERE status = 'scored'
QUALIFY LAG(score) OVER video IS NOT NULL
WINDOW video AS (PARTITION BY dataset, split, video_id ORDER BY scored_at)
