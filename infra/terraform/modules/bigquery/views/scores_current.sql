-- The newest attempt on the bytes that the catalogue lists now, per video, model and crop.
-- Deleted videos are not in the catalogue, so they leave this view.
SELECT s.*
FROM `${dataset}.scores` AS s
JOIN `${dataset}.catalog` AS c
  ON c.dataset = s.dataset
  AND c.split = s.split
  AND c.video_id = s.video_id
  AND c.content_version = s.content_version
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY s.dataset, s.split, s.model, s.crop, s.video_id
  ORDER BY s.attempts DESC, s.scored_at DESC
) = 1
