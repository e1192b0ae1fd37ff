-- The last failure of each listed video that has no score for its present bytes.
SELECT q.*
FROM `${dataset}.quarantine` AS q
JOIN `${dataset}.catalog` AS c
  ON c.dataset = q.dataset
  AND c.split = q.split
  AND c.video_id = q.video_id
  AND c.content_version = q.content_version
LEFT JOIN (
  SELECT DISTINCT dataset, split, video_id, content_version
  FROM `${dataset}.scores`
  WHERE status = 'scored'
) AS s
  ON s.dataset = q.dataset
  AND s.split = q.split
  AND s.video_id = q.video_id
  AND s.content_version = q.content_version
WHERE s.video_id IS NULL
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY q.stage, q.dataset, q.split, q.video_id
  ORDER BY q.at DESC
) = 1
