-- Where two models, or two versions of the bytes, gave one video different scores in turn.
SELECT *, score - previous_score AS score_change
FROM (
  SELECT
    dataset,
    split,
    video_id,
    model,
    content_version,
    score,
    LAG(score) OVER (PARTITION BY dataset, split, video_id ORDER BY scored_at) AS previous_score,
    LAG(model) OVER (PARTITION BY dataset, split, video_id ORDER BY scored_at) AS previous_model,
    scored_at
  FROM `${dataset}.scores`
  WHERE status = 'scored'
) AS scored
WHERE previous_score IS NOT NULL
